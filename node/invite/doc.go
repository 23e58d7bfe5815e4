// Package invite lets people into a network by an invitation: a line of text that
// one of its nodes wrote, good for a while and for so many guests, one as a rule.
//
// A network closed by a secret can't be spoken to without it, so guests come to a
// door: a libp2p host under the node's own key, in the open network that [Rendezvous]
// names, which speaks [Protocol] alone and is there only while invitations are
// out. The text names the door's addresses and the node's ID, so the guest knows
// whom it tells the invitation's secret to; the node keeps only the hash of that, under
// "invite/" in its store. What the guest gets is what its home needs: the network's
// rendezvous string, its secret, and addresses.
//
// A use is made durable before the guest hears anything. A guest whose answer was
// lost may come again: uses are counted by peer ID.
package invite
