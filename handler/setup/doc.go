// Package setup writes the files of a new installation: everything that Caddy,
// Authelia and RomM need to work together, from a few answers of the operator.
// It returns the files and touches no disk.
package setup
