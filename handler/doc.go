// Package handler is the gate: it decides what each request gets.
//
// It knows net/http, the relying party (package flow) and the sessions
// (package flow/session), but neither the server in front of it nor the
// application behind it. The server hands in the rest of its handler chain as
// a Chain; the application's dialect is an Application.
package handler
