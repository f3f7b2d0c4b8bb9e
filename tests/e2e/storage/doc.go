// Package storage tests sessions in two kinds of storage: a directory of
// files, which is Caddy's own, and Redis.
package storage
