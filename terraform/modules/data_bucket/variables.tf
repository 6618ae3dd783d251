variable "name" {
  type = string
}

variable "spec" {
  description = "The bucket's entry in config/<environment>.yaml."
  type = object({
    location         = string
    soft_delete_days = optional(number, 7)
    noncurrent_days  = optional(number, 30)
  })
}
