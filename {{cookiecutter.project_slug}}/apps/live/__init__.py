"""Live updates of open pages over WebSocket, for logged-in users."""
