"""An example: bookings from any source trigger the same emails, and no slot is booked twice."""
