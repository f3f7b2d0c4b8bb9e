// Package storage tests that sessions live in storages of different kinds as
// they live in Caddy's own: a directory of files, and Redis.
package storage
