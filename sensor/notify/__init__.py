"""Who is told of alerts, and how: mail, web servers, syslog; a destination is one file."""
