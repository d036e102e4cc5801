//! A WebSocket server library.
