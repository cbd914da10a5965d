//! reservation-svc
