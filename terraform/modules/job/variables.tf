variable "name" {
  description = "Name of the Cloud Run job."
  type        = string
}

variable "region" {
  type = string
}

variable "environment" {
  type = string
}

variable "image" {
  description = "First image; empty for Google's page that says hello."
  type        = string
}

variable "spec" {
  description = "The job's entry in config/<environment>.yaml; meaning and defaults as in shared/delivery/platform.py."
  type = object({
    cpu             = optional(number, 1)
    memory          = optional(string, "1Gi")
    timeout_seconds = optional(number, 3600)
    retries         = optional(number, 3)
    parallelism     = optional(number, 0)
    secrets         = optional(list(string), [])
  })
}

variable "secrets" {
  description = "Variable -> secret and pinned version."
  type        = map(object({ secret = string, version = string }))
}

variable "account" {
  description = "Account of the function that starts the job; the job works for it and runs as it."
  type        = string
}

variable "subnetworks" {
  description = "Region -> subnetwork that calls to the outside leave through; empty for none."
  type        = map(string)
}

variable "protected" {
  description = "Whether Terraform refuses to destroy the job."
  type        = bool
}

variable "deployer" {
  description = "Member that deploys new versions."
  type        = string
}
