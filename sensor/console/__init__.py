"""What people look at: live, over journal, ledger and desk. It never touches the sensor."""
