"""What a signed-in user's open pages are told at once, over WebSocket."""
