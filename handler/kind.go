package handler

import (
	"net/http"
	"strings"
)

// kind is what a request without session is answered by: how a refusal has to
// look so that what sent it does the right thing. It never decides whether
// something passes: every header field it reads can be forged.
type kind int

const (
	kindScript     kind = iota // a script or an API client: a status and JSON
	kindNavigation             // a person who looks at the tab: a redirect or a page
	kindForm                   // a navigation that is not a GET: a page, never a redirect
	kindEmbedded               // an image, font, stylesheet, frame: a status and nothing else
	kindSocket                 // a WebSocket, or the polling that stands in for one
	kindPrefetch               // a guess of the browser's: try again when it is meant
)

// kindOf tells the kind of r: socket says that its path belongs to the
// application's sockets, document that a GET of it may be answered with a page.
// Browsers say it in
// Sec-Fetch-* (Fetch Metadata); for others a GET that asks for HTML outside
// the application's own APIs is a navigation.
func kindOf(r *http.Request, socket, document bool) kind {
	if isSocket(r) || socket {
		return kindSocket
	}
	if purpose := r.Header.Get("Sec-Purpose"); strings.HasPrefix(purpose, "prefetch") || r.Header.Get("Purpose") == "prefetch" {
		return kindPrefetch
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	switch {
	case mode == "navigate" && dest == "document":
		if get {
			return kindNavigation
		}
		return kindForm
	case mode == "navigate": // a frame, an embed, an object
		return kindEmbedded
	case mode != "":
		if dest == "" || dest == "empty" {
			return kindScript
		}
		return kindEmbedded
	case get && strings.Contains(r.Header.Get("Accept"), "text/html") && document:
		return kindNavigation
	default:
		return kindScript
	}
}

// wantsJSON reports whether a refusal of r is read by a program.
func (k kind) wantsJSON() bool { return k != kindNavigation && k != kindForm }
