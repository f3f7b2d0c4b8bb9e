// Package keyringtest provides an in-memory keyring.Storage for tests, with
// faults, delays, hooks and call counts.
//
// It imports nothing but the standard library and is imported by tests only.
package keyringtest
