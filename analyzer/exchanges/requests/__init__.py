"""Rows of the exchanges table for requests inside connections."""
