"""What is compared: scenarios, conflicts, students and their losses, one class each."""
