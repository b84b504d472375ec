"""Who asks: signed requests of merchants' servers, client secrets of browsers. Pure code."""
