// Package imbalance answers the imbalance of foreground and background among
// proposals: nearly all of them hold nothing. It has losses that count easy
// examples less, and samplers that leave most of them out.
package imbalance
