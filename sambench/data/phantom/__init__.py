"""The simulated breast ultrasound of dataset `phantom`: physics, anatomy, and a study of both."""
