// What kind of client sent a request, by Fetch Metadata.

package request

import (
	"net/http"
	"strings"
)

// Class is the kind of client that waits for a response. It decides what a
// refusal looks like, so that the client does the right thing with it. It never
// decides whether a request passes: every header field behind it can be forged.
type Class int

// The classes, each with what a refusal looks like.
const (
	Script     Class = iota // a script or an API client: a status and JSON
	Navigation              // a user who looks at the tab: a redirect or a page
	Form                    // a navigation that is not a GET: a page, never a redirect
	Embedded                // an image, font, stylesheet or frame: a status only
	Socket                  // a WebSocket, or the polling in place of one: a status only
	Prefetch                // a browser's guess: a status that makes it try again on a click
)

// Classify returns the class of r. socket says that the path belongs to the
// application's WebSockets, document that the response to a GET may be a page.
// Browsers send the class in the Sec-Fetch-* fields ([Fetch Metadata]). For
// other clients, a GET that accepts HTML and may be a page is a navigation.
//
// [Fetch Metadata]: https://www.w3.org/TR/fetch-metadata/
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

// WantsJSON reports whether a program, and not a user, reads the response.
func (k Class) WantsJSON() bool { return k != Navigation && k != Form }
