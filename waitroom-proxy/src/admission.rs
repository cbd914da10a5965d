//! Rate maths: tick period, poll interval, estimate. Pure.
