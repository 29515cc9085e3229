"""An example: however a booking comes in, what follows it follows, and no slot is booked twice."""
