variable "project" {
  type = string
}

variable "project_number" {
  type = string
}

variable "environment" {
  type = string
}

variable "services" {
  description = "Names of the Cloud Run services."
  type        = list(string)
}

variable "thresholds" {
  description = "The section alert_thresholds of config/<environment>.yaml: shares from 0 to 1, seconds."
  type        = object({ error_rate = number, error_rate_critical = number, latency_p95 = number })
}

variable "spend_usd_month" {
  description = "Cap of what language models may cost a month, in US dollars."
  type        = number
}

variable "spec" {
  description = "The section platform.monitoring; meaning and defaults as in shared/delivery/platform.py."
  type = object({
    emails                = optional(list(string), [])
    uptime_period_seconds = optional(number, 300)
  })
}

variable "uptime_hosts" {
  description = "Hosts whose /live is asked; signed_in where Cloud Run wants a token."
  type        = map(object({ host = string, signed_in = bool }))
}

variable "schedules" {
  description = "Name of a schedule -> how often one call of it is tried, and within how many seconds."
  type        = map(object({ tries = number, seconds = number }))
}

variable "billing_account" {
  description = "Account of the budget; empty for no budget."
  type        = string
}

variable "budget_usd" {
  type = number
}

variable "rpo_hours" {
  description = "Hours of data that may be lost: the setting rpo_hours."
  type        = number
}

variable "drill_age_days" {
  description = "Days after which a drill is too old: the setting drill_max_age_days."
  type        = number
}
