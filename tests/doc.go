// Package tests holds what needs a running Caddy: the module in front of
// stand-ins for Authelia (package authelia) and RomM (package romm).
//
// caddytest runs one Caddy in this process, on fixed ports, so that nothing
// here runs in parallel.
package tests
