variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "spec" {
  description = "The schedule's entry in config/<environment>.yaml; meaning and defaults as in shared/delivery/platform.py."
  type = object({
    cron             = string
    path             = string
    method           = optional(string, "POST")
    time_zone        = optional(string, "Etc/UTC")
    deadline_seconds = optional(number, 1800)
    retries          = optional(number, 3)
    paused           = optional(bool, false)
  })
}

variable "uri" {
  description = "Address of the function."
  type        = string
}

variable "account" {
  description = "Account that calls."
  type        = string
}

variable "audience" {
  description = "Audience of the token: the setting caller_audience."
  type        = string
}
