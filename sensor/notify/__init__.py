"""Who is told of alerts, and how: mail, web servers, syslog, chat; a destination is one file."""
