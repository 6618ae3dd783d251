output "subnetworks" {
  value = { for region, subnetwork in google_compute_subnetwork.this : region => subnetwork.id }
}

output "addresses" {
  value = [for region in var.regions : google_compute_address.this[region].address if var.static_address]
}
