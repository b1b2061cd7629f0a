# cleaner
