"""Ground floor: settings, logs, TLS, mux, stages, supervisor; knows no payments."""
