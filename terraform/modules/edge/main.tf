# A global load balancer before chat: two regions, a limit for each address, a cache for static parts.

resource "google_compute_global_address" "this" {
  name = var.name
}

resource "google_compute_region_network_endpoint_group" "chat" {
  for_each = toset(var.regions)

  name                  = "${var.name}-chat-${each.key}"
  region                = each.key
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service
  }
}

resource "google_compute_security_policy" "this" {
  name        = var.name
  description = "Limits each address; refuses what the preconfigured rules know as attacks."

  rule {
    action      = "deny(403)"
    priority    = 500
    description = "Requests that exploit Log4j, whatever they ask for."
    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  rule {
    action      = "throttle"
    priority    = 1000
    description = "A limit for each address; Lectern's own limits are finer."
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "The rule that every policy ends with."
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_backend_service" "chat" {
  name                  = "${var.name}-chat"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id
  enable_cdn            = false

  dynamic "backend" {
    for_each = google_compute_region_network_endpoint_group.chat
    content {
      group = backend.value.id
    }
  }

  outlier_detection {
    consecutive_errors                    = 5
    enforcing_consecutive_errors          = 100
    consecutive_gateway_failure           = 3
    enforcing_consecutive_gateway_failure = 100
    base_ejection_time {
      seconds = 30
    }
    interval {
      seconds = 1
    }
  }

  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

# The published site and the chat element: files that anybody may read.
resource "google_storage_bucket" "static" {
  #checkov:skip=CKV_GCP_114: these files are published: the load balancer's cache can only serve public ones.
  #checkov:skip=CKV_GCP_62: access to public files is counted by the load balancer; Cloud Audit Logs has the changes.
  name                        = var.static_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "inherited"

  versioning {
    enabled = true
  }

  website {
    main_page_suffix = "index.html"
    not_found_page   = "404.html"
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }
}

resource "google_storage_bucket_iam_member" "static_readers" {
  #checkov:skip=CKV_GCP_28: these files are published: the load balancer's cache can only serve public ones.
  bucket = google_storage_bucket.static.name
  role   = "roles/storage.objectViewer"
  member = "allUsers"
}

# Builds replace the site as a whole: they add, change and delete any file of it.
resource "google_storage_bucket_iam_member" "publisher" {
  bucket = google_storage_bucket.static.name
  role   = "roles/storage.objectUser"
  member = var.publisher
}

resource "google_compute_backend_bucket" "static" {
  name             = "${var.name}-static"
  bucket_name      = google_storage_bucket.static.name
  enable_cdn       = true
  compression_mode = "AUTOMATIC"

  cdn_policy {
    cache_mode       = "CACHE_ALL_STATIC"
    default_ttl      = 3600
    max_ttl          = 86400
    client_ttl       = 3600
    negative_caching = true
  }
}

resource "google_compute_url_map" "https" {
  name            = var.name
  default_service = google_compute_backend_bucket.static.id

  host_rule {
    hosts        = ["*"]
    path_matcher = "chat"
  }

  path_matcher {
    name            = "chat"
    default_service = google_compute_backend_bucket.static.id

    path_rule {
      paths   = ["/chat", "/chat/*", "/feedback", "/suggestions", "/conversations/*"]
      service = google_compute_backend_service.chat.id
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  name = var.name

  managed {
    domains = var.domains
  }
}

resource "google_compute_ssl_policy" "this" {
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  name             = var.name
  url_map          = google_compute_url_map.https.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "https" {
  name                  = "${var.name}-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.address
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}

resource "google_compute_url_map" "to_https" {
  name = "${var.name}-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "this" {
  name    = "${var.name}-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_forwarding_rule" "http" {
  name                  = "${var.name}-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.address
  port_range            = "80"
  target                = google_compute_target_http_proxy.this.id
}
