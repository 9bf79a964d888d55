"""What users read: texts in their language, and the templates of e-mails and pages."""
