// Package handler is the gate: it decides what each request gets.
//
// A Handler is one instance of the configuration; Caddy makes several of them
// for one site, and new ones at each reload. What they share and what outlives
// them is their Gate.
//
// It knows net/http, the relying party (package flow) and the sessions
// (package flow/session), but neither the server in front of it nor the
// application behind it. The server hands in the rest of its handler chain as
// an application.Chain; the application's dialect is an application.Application.
package handler
