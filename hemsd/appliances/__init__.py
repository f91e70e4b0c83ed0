"""The dedicated home networks: appliances found, understood, watched and set over ECHONET Lite.

Terms. A *network* is an interface and all that speaks there. A *node* is a host on it, with one dialogue, whatever
its addresses. An *object* is what a frame goes to: the node profile, or one of the node's devices, by EOJ. What an
object of a device told of itself (class, release, maps, maker) is a *device*; with what is believed of it here it is
an *instance*; and what the house hears of it, under an id that outlives addresses, is an *appliance*.
"""
