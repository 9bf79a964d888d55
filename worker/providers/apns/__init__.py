"""Apple's push service, by aioapns."""
