variable "name" {
  type = string
}

variable "location" {
  type = string
}

variable "spec" {
  description = "The bucket's entry in config/<environment>.yaml; meaning and defaults as in shared/delivery/platform.py."
  type = object({
    retention_days    = optional(number, 7)
    retention_locked  = optional(bool, false)
    soft_delete_days  = optional(number, 30)
    noncurrent_days   = optional(number, 30)
    delete_after_days = optional(number, 0)
  })

  validation {
    condition     = var.spec.delete_after_days == 0 || var.spec.delete_after_days > var.spec.retention_days
    error_message = "delete_after_days must be more than retention_days: an object that may not be deleted cannot expire."
  }
}

variable "wraps" {
  description = "Whether this place holds the key that wraps the data keys of recovery points."
  type        = bool
}

variable "encrypters" {
  description = "Members that wrap data keys, by a name for each."
  type        = map(string)
}

variable "decrypters" {
  description = "Members that unwrap data keys, by a name for each."
  type        = map(string)
}
