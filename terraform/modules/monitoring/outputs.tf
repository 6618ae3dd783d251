output "metrics" {
  description = "Metrics made of log lines."
  value       = keys(local.own)
}
