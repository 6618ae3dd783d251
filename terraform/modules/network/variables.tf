variable "name" {
  type = string
}

variable "regions" {
  type = list(string)
}

variable "range" {
  description = "Range of the first region's subnetwork; the next region gets the range after it."
  type        = string
}

variable "static_address" {
  description = "Whether everything leaves from one address a region."
  type        = bool
}
