// The clients without a browser that the operator lets in.

package romm

import (
	"fmt"
	"slices"
)

// The clients without a browser that an operator can let in, by the word of the
// setting. Clients with a client token need no setting.
const (
	// ClientsPassword send the user name and password of a RomM account, without
	// a second factor and without the provider.
	ClientsPassword = "password"
	// ClientsBearer send an access token that the provider issued.
	ClientsBearer = "bearer"
	// ClientsFeeds are consoles and web pages that read lists of games.
	ClientsFeeds = "feeds"
	// ClientsDownloads fetch files without a credential.
	ClientsDownloads = "downloads"
	// ClientsCovers fetch images and manuals without a credential.
	ClientsCovers = "covers"
)

// Clients is the set of clients that are let in.
type Clients map[string]bool

// ParseClients returns the set of words. It returns an error for an unknown or
// repeated word.
func ParseClients(words []string) (Clients, error) {
	all := []string{ClientsPassword, ClientsBearer, ClientsFeeds, ClientsDownloads, ClientsCovers}
	clients := make(Clients)
	for _, word := range words {
		if !slices.Contains(all, word) {
			return nil, fmt.Errorf("%q is not known: there are %v", word, all)
		}
		if clients[word] {
			return nil, fmt.Errorf("%s is given twice", word)
		}
		clients[word] = true
	}
	return clients, nil
}
