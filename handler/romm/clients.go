package romm

import (
	"fmt"
	"slices"
)

// The clients without a browser that an operator may let in, beside those with
// a client token, by the words of the setting.
const (
	// ClientsPassword have a name and a password of RomM's own, and with it no
	// second factor and no provider.
	ClientsPassword = "password"
	// ClientsBearer have an access token of the provider's.
	ClientsBearer = "bearer"
	// ClientsFeeds are consoles and pages that read lists of games.
	ClientsFeeds = "feeds"
	// ClientsDownloads fetch files and have no credential.
	ClientsDownloads = "downloads"
	// ClientsCovers fetch images and manuals and have no credential.
	ClientsCovers = "covers"
)

// Clients is the set of those that are let in.
type Clients map[string]bool

// ParseClients returns the set of words.
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
