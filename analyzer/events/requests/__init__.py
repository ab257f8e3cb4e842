"""Requests inside TCP connections, TLS and HTTP, and what came back."""
