variable "name" {
  description = "Name of the Cloud Run service and of its account."
  type        = string
}

variable "module_name" {
  description = "Module in functions/ and its entry point."
  type        = string
}

variable "regions" {
  description = "Where the service runs; the first is the main one."
  type        = list(string)
}

variable "environment" {
  type = string
}

variable "image" {
  description = "First image; empty for Google's page that says hello."
  type        = string
}

variable "spec" {
  description = "The function's entry in config/<environment>.yaml; meaning and defaults as in shared/delivery/platform.py."
  type = object({
    cpu              = optional(number, 1)
    memory           = optional(string, "512Mi")
    concurrency      = optional(number, 80)
    timeout_seconds  = optional(number, 60)
    min_instances    = optional(number, 0)
    max_instances    = optional(number, 10)
    session_affinity = optional(bool, false)
    cpu_boost        = optional(bool, true)
    public           = optional(bool, false)
    secrets          = optional(list(string), [])
    startup = optional(object({
      path            = string
      period_seconds  = optional(number, 10)
      timeout_seconds = optional(number, 3)
      failures        = optional(number, 3)
    }), { path = "/live", period_seconds = 2, timeout_seconds = 2, failures = 30 })
    liveness = optional(object({
      path            = string
      period_seconds  = optional(number, 10)
      timeout_seconds = optional(number, 3)
      failures        = optional(number, 3)
    }), { path = "/live", period_seconds = 30 })
  })
}

variable "secrets" {
  description = "Variable -> secret and pinned version."
  type        = map(object({ secret = string, version = string }))
}

variable "subnetworks" {
  description = "Region -> subnetwork that calls to the outside leave through; empty for none."
  type        = map(string)
}

variable "protected" {
  description = "Whether Terraform refuses to destroy the service."
  type        = bool
}

variable "deployer" {
  description = "Member that deploys revisions and moves traffic."
  type        = string
}

variable "invokers" {
  description = "Members that may call the service, by a name for each."
  type        = map(string)
}

variable "audiences" {
  description = "Audiences that tokens of callers may name beside the service's address."
  type        = list(string)
}
