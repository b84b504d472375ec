"""Where private keys live: in this process (`native`), or in a device."""
