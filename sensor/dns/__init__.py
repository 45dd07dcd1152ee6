"""Who asks DNS for mail exchangers (MX), and what is answered."""
