// Package doctor finds out why an installation does not work: it reads Caddy's
// configuration, asks the provider and RomM what they accept, and reports each
// finding with what it saw, what it expected, and the line to change.
package doctor
