"""What users read: texts in six languages, and the templates of e-mails and pages."""
