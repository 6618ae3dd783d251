locals {
  size   = tonumber(split("/", var.range)[1])
  ranges = { for place, region in var.regions : region => cidrsubnet("${split("/", var.range)[0]}/${local.size - 1}", 1, place) }
  static = var.static_address ? toset(var.regions) : toset([])
}

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false
}

# Instances call out; nothing calls in.
resource "google_compute_firewall" "nothing_in" {
  name          = "${var.name}-nothing-in"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65000
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

resource "google_compute_subnetwork" "this" {
  for_each = toset(var.regions)

  name                     = "${var.name}-${each.key}"
  region                   = each.key
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.ranges[each.key]
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_router" "this" {
  for_each = toset(var.regions)

  name    = "${var.name}-${each.key}"
  region  = each.key
  network = google_compute_network.this.id
}

resource "google_compute_address" "this" {
  for_each = local.static

  name   = "${var.name}-egress-${each.key}"
  region = each.key
}

resource "google_compute_router_nat" "this" {
  for_each = toset(var.regions)

  name                               = "${var.name}-${each.key}"
  region                             = each.key
  router                             = google_compute_router.this[each.key].name
  nat_ip_allocate_option             = var.static_address ? "MANUAL_ONLY" : "AUTO_ONLY"
  nat_ips                            = var.static_address ? [google_compute_address.this[each.key].self_link] : null
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.this[each.key].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
