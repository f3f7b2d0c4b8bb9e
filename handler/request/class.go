package request

import (
	"net/http"
	"strings"
)

// Class is what a request without session is answered by: how a refusal has to
// look so that what sent it does the right thing. It never decides whether
// something passes: every header field it reads can be forged.
type Class int

const (
	Script     Class = iota // a script or an API client: a status and JSON
	Navigation              // a person who looks at the tab: a redirect or a page
	Form                    // a navigation that is not a GET: a page, never a redirect
	Embedded                // an image, font, stylesheet, frame: a status and nothing else
	Socket                  // a WebSocket, or the polling that stands in for one
	Prefetch                // a guess of the browser's: try again when it is meant
)

// class tells the kind of r: socket says that its path belongs to the
// application's sockets, document that a GET of it may be answered with a page.
// Browsers say it in
// Sec-Fetch-* (Fetch Metadata); for others a GET that asks for HTML outside
// the application's own APIs is a navigation.
func Classify(r *http.Request, socket, document bool) Class {
	if IsSocket(r) || socket {
		return Socket
	}
	if purpose := r.Header.Get("Sec-Purpose"); strings.HasPrefix(purpose, "prefetch") || r.Header.Get("Purpose") == "prefetch" {
		return Prefetch
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	switch {
	case mode == "navigate" && dest == "document":
		if get {
			return Navigation
		}
		return Form
	case mode == "navigate": // a frame, an embed, an object
		return Embedded
	case mode != "":
		if dest == "" || dest == "empty" {
			return Script
		}
		return Embedded
	case get && strings.Contains(r.Header.Get("Accept"), "text/html") && document:
		return Navigation
	default:
		return Script
	}
}

// WantsJSON reports whether a refusal of r is read by a program.
func (k Class) WantsJSON() bool { return k != Navigation && k != Form }
