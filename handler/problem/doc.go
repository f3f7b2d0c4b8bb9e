// Package problem says why a request is refused, in one stable code per reason,
// and writes the gate's own responses: pages, JSON and redirects.
package problem
