//go:build race

package tests

// underRace says that the race detector watches, which allocates by itself.
const underRace = true
